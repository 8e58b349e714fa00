"""The ablation: which rows there are, their runs' results as small committed files, and the table made of them."""
