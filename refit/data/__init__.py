"""The examples between the stages: reading, checking and sampling them."""
