"""The metrics, one file a family; `base.REGISTRY` names them all."""
