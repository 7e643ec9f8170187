"""suite.yaml -> cases: footage, needles and haystacks into edit lists of videos."""
