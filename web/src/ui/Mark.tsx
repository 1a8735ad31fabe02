// The mark: two bulkheads and the dry space between them, with the water standing outside.
export function Mark({ size = 24 }: { size?: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d="M4.5 3h4.6v18H4.5z" fill="#6fd0dc" />
      <path d="M14.9 3h4.6v18h-4.6z" fill="#3aa5ba" />
      <path d="M0 14.2c1.5-1.3 3 1.1 4.5 0V21H0z" fill="#3aa5ba" opacity=".55" />
      <path d="M19.5 14.2c1.5-1.3 3 1.1 4.5 0V21h-4.5z" fill="#6fd0dc" opacity=".5" />
    </svg>
  );
}
