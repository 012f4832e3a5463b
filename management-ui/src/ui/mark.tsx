// The sign of Warren.

export function Mark() {
  return (
    <svg width="22" height="22" viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="7" fill="var(--accent)" />
      <path d="M6 9l4.500 14L16 13l5.500 10L26 9" fill="none" stroke="var(--on-accent)" stroke-width="3.200" stroke-linecap="round" stroke-linejoin="round" />
    </svg>
  );
}
