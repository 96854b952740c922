"""Which explanation is right: metrics of heatmaps, in a notebook in one line each."""

from perturb.evaluate.agreement import pearson_correlation, rank_correlation, top_overlap
from perturb.evaluate.class_means import ClassMeans, mean_over_classes
from perturb.evaluate.deleted_parts import PartImportance, part_importance
from perturb.evaluate.deletion import DeletionInsertion, area_under, deletion_insertion
from perturb.evaluate.fidelity import infidelity
from perturb.evaluate.intervals import (
  Interval,
  class_mean_interval,
  mean_interval,
  paired_interval,
  paired_runs,
)
from perturb.evaluate.localisation import heatmap_boxes
from perturb.evaluate.localisation_scores import (
  BestThreshold,
  best_threshold,
  box_iou,
  localisation_error,
  localisation_ious,
)
from perturb.evaluate.occluded_boxes import BoxOcclusion, box_occlusion
from perturb.evaluate.occlusion_robustness import (
  AccuracyUnderOcclusion,
  accuracy_under_occlusion,
)
from perturb.evaluate.overlap import IouCurves, iou_curves, relevance_mass, relevance_rank
from perturb.evaluate.pointing import centre_hits, point_hits, pointing_game
from perturb.evaluate.randomised_nets import (
  layers_from,
  parametrised_layers,
  randomisations,
  randomised,
)
from perturb.evaluate.sensitivity import ClassSensitivity, class_sensitivity, max_sensitivity
from perturb.evaluate.structure import structural_similarity

__all__ = [
  'AccuracyUnderOcclusion',
  'BestThreshold',
  'BoxOcclusion',
  'ClassMeans',
  'ClassSensitivity',
  'DeletionInsertion',
  'Interval',
  'IouCurves',
  'PartImportance',
  'accuracy_under_occlusion',
  'area_under',
  'best_threshold',
  'box_iou',
  'box_occlusion',
  'centre_hits',
  'class_mean_interval',
  'class_sensitivity',
  'deletion_insertion',
  'heatmap_boxes',
  'infidelity',
  'iou_curves',
  'layers_from',
  'localisation_error',
  'localisation_ious',
  'max_sensitivity',
  'mean_interval',
  'mean_over_classes',
  'paired_interval',
  'paired_runs',
  'parametrised_layers',
  'part_importance',
  'pearson_correlation',
  'point_hits',
  'pointing_game',
  'randomisations',
  'randomised',
  'rank_correlation',
  'relevance_mass',
  'relevance_rank',
  'structural_similarity',
  'top_overlap',
]
