"""What pages are made of: their frame, their charts, and text that does nothing in them."""
