"""From a suite file to cases: needles and haystacks become edit lists of videos."""
