"""Which copies of a text stay: signatures -> edges -> clusters -> one decision file per unit."""
