// What the API of this version has of all that pages can show. Pages leave out what it has not.

export const HAS = {
  /** Histories for charts. */
  series: false,
  /** How long messages wait and are held. */
  latency: false,
  /** Messages looked at without being taken. */
  look: false,
  /** Where a message would go. */
  route: false,
  /** Lists that filter by values and count them: `where`, `facets`, `trend`. */
  tokens: false,
};
