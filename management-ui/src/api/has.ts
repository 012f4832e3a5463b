// What the API of this version has of all that pages can show. Pages leave out what it has not.

export const HAS = {
  /** Histories for charts. */
  series: true,
  /** How long messages wait and are held. */
  latency: true,
  /** Messages looked at without being taken. */
  look: true,
  /** Where a message would go. */
  route: true,
  /** Work that goes on without the page: moving messages, purging and deleting many queues. */
  jobs: true,
  /** Lists that filter by values and count them: `where`, `facets`. */
  tokens: true,
};
