"""Flattr's backend: a monthly flat rate, split evenly between the people a reader flattred."""
