// What the quantities are, shown where they appear.

const DEFINITIONS = {
  iteration: "Iteration t is the state after merge number t, counted from 0. Each merge makes two groups one, so every iteration has one group less than the one before.",
  view: "Consensus: components that more than half of the runs put together at this iteration, and what hangs together by such pairs. Or the groups of one run as it made them.",
  size: "Number of components in the group.",
  activity: "Share of samples on which the group is active: at least one of its components is above the activation threshold. Recorded by the run when the group took part in its next merge. For groups of the consensus: counted on the batch of the first run at the marked cuts, elsewhere that of the first run that holds exactly this group, and a dash where none does. Scalar activations (no threshold): the sum per sample that the run recorded.",
  support: "Mean share of runs in which two members of the group are together; of a group of one, the share of runs in which it is alone. 1: every run agrees. High values are easy while nearly everything is alone, so compare with the shuffled runs in the text at the top.",
  exact: "Number of runs that hold this group at this iteration, member for member.",
  agreement: "Distance between the groupings of two runs: median over all pairs of runs (line), smallest to largest (band). Grey: the same merges with the components of every run shuffled, which is chance. What counts is how far the line stays below grey.",
  mdl: "Description length of the activations under the grouping, in bits per sample: Σ s · (log2 k + α · r) over groups, with s the share of samples on which a group is active, k the number of groups, r its size. Thin lines are runs, the thick one their mean. Its minimum is where groups pay best.",
  distances: "Distance between every two runs at this iteration. Pale is alike.",
  contestedness: "Mean over pairs of runs of the number of components that share its group in one of the two runs only.",
  consistency: "Mean over pairs of runs of the Jaccard index of its two sets of group mates; 1 where it is alone in both.",
  partners: "Mean number of components that share its group, over runs.",
  cofiring: "Of the samples on which the component of the row is active, the share on which that of the column is active too. Hatched: not counted.",
  neighbours: "Components that share its group in some run at this iteration, by the share of runs.",
  tokens: "Tokens on which the group is active: how often of how many samples of that token, first those that tell the group apart most (their term of the relative entropy to all tokens).",
};
