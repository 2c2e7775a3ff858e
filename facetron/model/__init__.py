"""The network of the paper, module by module, with its losses and configurations."""
