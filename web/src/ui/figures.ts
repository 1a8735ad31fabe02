// What a report on sessions can draw over time; the address and the chart name it alike.

export const SESSION_FIGURES = ['sessions', 'persons', 'median', 'average', 'events', 'bounced'] as const;
export type SessionFigure = (typeof SESSION_FIGURES)[number];
