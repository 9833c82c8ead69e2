"""Figures. They take results and return matplotlib figures; they never read files."""
