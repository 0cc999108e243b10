"""Which path changes which attribute: measuring, scores, groups, names and reports."""

from semanifold.ranking.groups import ATTRIBUTE_GROUPS, find_group
from semanifold.ranking.measures import Measures, read_measures
from semanifold.ranking.names import name_paths
from semanifold.ranking.scores import Scores, score

__all__ = ["ATTRIBUTE_GROUPS", "Measures", "Scores", "find_group", "name_paths", "read_measures", "score"]
