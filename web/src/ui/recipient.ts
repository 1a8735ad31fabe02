// To whom a file is encrypted: the public part of an age key.
const RECIPIENT = /^age1[02-9ac-hj-np-z]{58}$/;

export const isRecipient = (text: string): boolean => RECIPIENT.test(text);
