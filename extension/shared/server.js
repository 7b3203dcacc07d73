/** The server that a new reader meets. `make package SERVER=https://…` writes another one here. */
export const DEFAULT_SERVER = 'http://127.0.0.1:8000';
