"""Generators: frozen, differentiable maps from latents to pictures, one file per architecture."""
