/** The columns of a row, by name. */
export type Row = Record<string, any>;

/** What a handler may make of a row: the columns to set, or nothing. */
export type Columns = Record<string, unknown> | null | undefined | void;

/** A row in hand. */
export interface Item {
  /** The number of this hand-out. */
  readonly id: number;
  /** The row's key in its table. */
  readonly key: string | number;
  /** Which attempt at it this is, from 1. */
  readonly attempt: number;
  /** What the handler is given of it. */
  readonly columns: Row;
  /** Is aborted when Gleaner wants the work on it to stop. */
  readonly signal: AbortSignal;
  /** Tells how far it has come. */
  progress(told: { done?: number; total?: number; step?: string }): void;
}

export interface Options {
  /** What the handler calls itself in Gleaner's log. */
  name?: string;
  /** How many calls are under way at a time; as many as Gleaner offers if not given. */
  inFlight?: number;
}

/** What became of a row; to be thrown, or returned. Batch handlers put it into their list. */
export class Outcome extends Error {}

/** Not now: the row comes again after so many seconds, and no attempt is charged. */
export class Snooze extends Outcome {
  constructor(after: number, reason?: string, options?: { wholeWorkflow?: boolean });
}

/** There is rightly nothing to do. */
export class Filtered extends Outcome {
  constructor(reason: string, columns?: Record<string, unknown>);
}

/** It went wrong; with `retry` (the default) it is tried again. */
export class Fail extends Outcome {
  constructor(error: string, options?: { retry?: boolean; after?: number });
}

/** Ends the handler: the row comes again after so many seconds. */
export function snooze(after: number, reason?: string, options?: { wholeWorkflow?: boolean }): never;
/** Ends the handler: there is rightly nothing to do. */
export function filtered(reason: string, columns?: Record<string, unknown>): never;
/** Ends the handler: it went wrong. */
export function fail(error: string, options?: { retry?: boolean; after?: number }): never;

/** Runs a handler for single rows until Gleaner has no more for it. */
export function run(
  handler: (row: Row, item: Item) => Columns | Outcome | Promise<Columns | Outcome>,
  options?: Options,
): Promise<void>;
/** Runs a handler for batches: it returns a result for each row, in their order. */
export function run(
  handler: (
    rows: Row[],
    items: Item[],
  ) => (Columns | Error)[] | null | undefined | Promise<(Columns | Error)[] | null | undefined>,
  options: Options & { /** At most so many rows in a batch. */ batch: number },
): Promise<void>;
