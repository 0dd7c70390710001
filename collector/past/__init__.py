"""The past, gone through again: what was judged then is judged again, from what is on disk."""
