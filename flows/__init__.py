"""What a user triggers: each flow reads as a recipe."""
