"""How local an edit is: published metrics, the truth of the bundled faces, closed-form baselines and the benchmark."""
