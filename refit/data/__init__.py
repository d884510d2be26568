"""The rows between the stages: which are used, and what is wrong with them."""
