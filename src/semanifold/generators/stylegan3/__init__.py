"""StyleGAN3 (Karras et al. 2021, arXiv:2106.12423): the network, its filters, and the layout of its files."""
