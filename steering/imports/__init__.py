"""Rules out of what other products are told: text in, rules and everything that could not be taken out."""
