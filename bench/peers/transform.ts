/** The work: a new value whose first letter is in upper case. */
export const transform = (value: Uint8Array): Buffer => {
  const copy = Buffer.from(value)
  const first = copy[0] ?? 0
  if (first >= 97 && first <= 122) copy[0] = first - 32
  return copy
}
