// The one door to the server: typed by its OpenAPI document, and every refusal becomes an ApiError.
import createClient from 'openapi-fetch';
import type { components, paths } from './schema.gen';

/** What the server said when it refused: a code to translate, and its own words to fall back on. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly hint?: string,
    readonly retryAfterSeconds?: number,
    /** What must be shown before the same request is taken. */
    readonly stepUp?: components['schemas']['ChallengeBody'],
  ) {
    super(message);
    this.name = 'ApiError';
  }
}

export const client = createClient<paths>({
  credentials: 'same-origin',
});

client.use({
  async onResponse({ response }) {
    if (response.ok) return undefined;
    const body = await response
      .clone()
      .json()
      .catch(() => null);
    const error = body?.error ?? {};
    const retryAfter = Number(response.headers.get('retry-after'));
    throw new ApiError(
      response.status,
      typeof error.code === 'string' ? error.code : `http_${response.status}`,
      typeof error.message === 'string' ? error.message : response.statusText,
      typeof error.hint === 'string' ? error.hint : undefined,
      Number.isFinite(retryAfter) && retryAfter > 0 ? retryAfter : undefined,
      error.code === 'step_up_required' ? error.step_up : undefined,
    );
  },
});

/** Takes the body of an answer that, refusals having thrown, must be there. */
export function bodyOf<T>(answer: { data?: T }): T {
  if (answer.data === undefined) throw new ApiError(502, 'empty_answer', 'the server sent no body');
  return answer.data;
}
