"""Which path changes which attribute: measuring, scores, groups, names and reports."""

from semanifold.analysis.ranking.groups import ATTRIBUTE_GROUPS, find_group
from semanifold.analysis.ranking.measures import Measures, read_measures
from semanifold.analysis.ranking.names import name_paths
from semanifold.analysis.ranking.scores import Scores, score

__all__ = ["ATTRIBUTE_GROUPS", "Measures", "Scores", "find_group", "name_paths", "read_measures", "score"]
