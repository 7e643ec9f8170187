"""ViLaMP (arXiv 2504.02438): differential keyframe selection and differential feature merging."""
