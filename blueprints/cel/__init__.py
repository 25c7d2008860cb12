"""CEL in blueprints: the tree of an expression, its types against a contract, and what is wrong in our words."""
