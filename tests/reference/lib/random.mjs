// Numbers that look random and are the same in each run (mulberry32), so that a difference that was found is found again.
export function random (seed) {
  let state = seed
  const next = () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  /** A whole number from 0 to below `end`. */
  const int = (end) => Math.floor(next() * end)
  const pick = (list) => list[int(list.length)]
  const chance = (share) => next() < share
  /** A text of at most `longest` of the characters of `alphabet`. */
  const string = (alphabet, longest) => {
    const characters = [...alphabet]
    return Array.from({ length: int(longest + 1) }, () => pick(characters)).join('')
  }
  return { int, pick, chance, string }
}
