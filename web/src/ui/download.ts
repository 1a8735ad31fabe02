// Hands a text or bytes to the reader as a file. It never has an address of its own that somebody else could open.

export function saveText(name: string, text: string, type = 'text/plain;charset=utf-8'): void {
  saveBytes(name, new Blob([text], { type }));
}

export function saveBytes(name: string, bytes: Blob): void {
  const address = URL.createObjectURL(bytes);
  const link = document.createElement('a');
  link.href = address;
  link.download = name;
  link.click();
  // The download has begun by then; the bytes need not stay in memory.
  window.setTimeout(() => URL.revokeObjectURL(address), 1_000);
}
