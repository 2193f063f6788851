"""The policy bundle: fetched, verified, kept for when nobody can be asked, and put in force as one value."""
