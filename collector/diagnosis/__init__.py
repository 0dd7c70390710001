"""What is wrong, as few causes as explain it. Pure, but for the store of incidents."""
