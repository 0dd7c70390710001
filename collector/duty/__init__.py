"""What people do about incidents, and what is owed when nobody does anything."""
