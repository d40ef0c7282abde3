"""What the product talks about: frozen values and the rules that hold without any I/O."""
