"""BigGAN (Brock et al. 2019, arXiv:1809.11096): the network, and the layouts of its files."""
