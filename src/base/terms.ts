// The largest term that anybody carries on. Terms grow by one with an election, so nothing but a wrong bit or
// a liar comes near the end of the numbers; what is above this is followed by nobody, so that enough numbers
// are left for every election to come.

export const termMax: number = Number.MAX_SAFE_INTEGER - 2 ** 32;
