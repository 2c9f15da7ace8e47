/**
 * The worker's side of a stream that the other thread pumps: asks for pieces a few ahead, so that neither side waits.
 * @param {() => void} pull asks the other side for one more piece
 */
export function feeder(pull) {
    const AHEAD = 3;
    /** @type {(Uint8Array | null)[]} */
    const arrived = [];
    /** @type {(() => void) | undefined} */
    let wake;
    let asked = 0;
    return {
        /** @param {Uint8Array | null} piece null at the end */
        push(piece) {
            arrived.push(piece);
            wake?.();
        },
        /** @returns {Promise<Uint8Array | null>} */
        async next() {
            for (; asked < AHEAD; asked++) pull();
            while (arrived.length === 0)
                await new Promise((resolve) => {
                    wake = () => resolve(undefined);
                });
            const piece = arrived.shift() ?? null;
            asked--;
            return piece;
        },
    };
}
