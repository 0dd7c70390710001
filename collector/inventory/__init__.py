"""The province folder: read strictly, checked whole, resolved for each agent. Nothing is judged here."""
