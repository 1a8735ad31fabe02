// Keeps a page's question in the address bar. An address without a readable question gets the page's
// first one, in place of itself, so that the address on screen is always the whole question.
import { useNavigate } from '@tanstack/react-router';
import { useCallback, useEffect } from 'react';

interface Question<Q, S> {
  query: Q | null;
  setQuery: (query: Q) => void;
  /** Changes what is no part of the question, such as the shape of the chart. */
  setView: (view: Partial<S>) => void;
}

interface QuestionOptions<Q, S> {
  search: S;
  decode: (search: S) => Q | null;
  encode: (query: Q) => S;
  /** Null while what it depends on is not known yet. */
  first: Q | null;
}

export function useQuestion<Q, S extends object>(options: QuestionOptions<Q, S>): Question<Q, S> {
  const { search, decode, encode, first } = options;
  const navigate = useNavigate();
  const decoded = decode(search);
  const missing = decoded === null && first !== null;

  // The router types searches per route; this hook serves all of them.
  const put = useCallback(
    (next: object, replace: boolean) => navigate({ to: '.', search: next as never, replace }),
    [navigate],
  );

  useEffect(() => {
    if (missing) put({ ...search, ...encode(first) }, true);
  }, [missing, put, search, encode, first]);

  return {
    query: decoded ?? first,
    setQuery: (query) => put({ ...search, ...encode(query) }, false),
    setView: (view) => put({ ...search, ...view }, false),
  };
}
