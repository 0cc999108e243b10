"""StyleGAN2 (Karras et al. 2020, arXiv:1912.04958): the network, its fast forms, and the layouts of its files."""
