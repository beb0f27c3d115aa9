import type { UpstreamRequest } from "../domain.ts";
import { outboundParams } from "./era.ts";
import type { Access, Call } from "./http-call.ts";
import type { Link } from "./link.ts";
import { notificationText, requestText, restoreToken } from "./message.ts";
import { createQuestions, type Questions, type ServerRequest } from "./questions.ts";
import type { Scope } from "./scope.ts";
import type { Session } from "./session.ts";

/** One request in a legacy session. A class, since one is made for every call and most parts are seldom used. */
export class LegacyCall implements Call {
  readonly id: number;
  readonly body: string;
  readonly access: Access;
  readonly isResumable = true;
  #isWaiting = false;
  #hasWaited = false;
  readonly #link: Link;
  readonly #session: Session;
  readonly #request: UpstreamRequest;
  readonly #scope: Scope;
  #questions: Questions | undefined;

  constructor(link: Link, session: Session, request: UpstreamRequest, scope: Scope) {
    this.#link = link;
    this.#session = session;
    this.#request = request;
    this.#scope = scope;
    this.id = link.nextId();
    this.access = request;
    const { method, params, progressToken } = request;
    const outbound = outboundParams(params, null, progressToken === undefined ? undefined : this.id);
    this.body = requestText(this.id, method, outbound);
    session.pending.set(this.id, this);
  }

  get headers(): readonly string[] {
    return this.#session.headers;
  }

  get decisionId(): string {
    return this.#request.decisionId;
  }

  get progressToken(): string | number | undefined {
    return this.#request.progressToken;
  }

  get mayAsk(): boolean {
    return this.#request.onQuestion !== undefined;
  }

  onNotification(method: string, params: string): void {
    this.#request.onNotification?.(method, params);
  }

  /** Once more after the last answer, so that the upstream has its time again. */
  isPatient(): boolean {
    const was = this.#hasWaited;
    this.#hasWaited = this.#isWaiting;
    return was;
  }

  /** Progress that came by the session's own stream; false: it is not this call's. */
  onProgress(params: string): boolean {
    const restored = restoreToken(params, this.id, this.progressToken);
    if (restored === undefined) return false;
    this.onNotification("notifications/progress", restored);
    return true;
  }

  onRequest(request: ServerRequest): void {
    this.#questions ??= this.#open();
    this.#questions.receive(request);
  }

  onCancelled(params: string): void {
    this.#questions?.withdraw(params);
  }

  onCut(): void {
    const cancelled = { requestId: this.id, reason: "cancelled" };
    this.#tell(notificationText("notifications/cancelled", cancelled)).catch(() => {});
  }

  close(): void {
    this.#session.pending.delete(this.id);
    this.#questions?.close();
  }

  #open(): Questions {
    let goOn = () => {};
    return createQuestions({
      ask: this.#request.onQuestion?.bind(this.#request),
      send: (text) => this.#tell(text),
      // A person may take longer than a tool: neither the deadline nor silence ends the call meanwhile.
      onWaiting: (isWaiting) => {
        this.#isWaiting = isWaiting;
        this.#hasWaited = true;
        if (isWaiting) goOn = this.#scope.pause();
        else goOn();
      },
      onDropped: this.#link.onDropped,
    });
  }

  #tell(body: string): Promise<number> {
    return this.#link.post({ method: "POST", headers: this.headers, access: this.access, body });
  }
}
