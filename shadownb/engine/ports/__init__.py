"""The seams: short protocols, each of which says what whoever implements it owes. Nothing is implemented here."""
