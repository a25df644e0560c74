"""The typed models of the configuration tree, one file per half of the road."""
