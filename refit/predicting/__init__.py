"""A fine-tuned model at work on texts and files, its answers as tables or as a leaderboard takes them."""
