"""Kinds of questions about inserted clips, a module each; `single`, the question of one clip, is `niah.suite.cases`."""
