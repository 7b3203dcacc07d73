"""The bank, behind files: statements that come from it, and payments that go to it."""
