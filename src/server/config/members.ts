// How many members a cluster may have.

export const membersMax = 7;
