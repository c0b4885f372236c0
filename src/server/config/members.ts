// What the members of a cluster may be: how many, and what their ids look like.

export const membersMax = 7;
export const nodeIdPattern = /^[A-Za-z0-9._-]{1,64}$/;
