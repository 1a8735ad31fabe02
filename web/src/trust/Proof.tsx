// The proof that something left whole and was written down: a file that anybody verifies with the ledger's
// key alone, without this server.

import { Button } from '@mantine/core';
import { IconDownload } from '@tabler/icons-react';
import { useMutation } from '@tanstack/react-query';
import { proofOf } from '../api/oversight';
import { useTranslation } from '../i18n';
import { saveText } from '../ui/download';
import { ErrorNote } from '../ui/ErrorNote';

export function ProofButton({ disclosure }: { disclosure: number }) {
  const { t } = useTranslation();
  const fetching = useMutation({
    mutationFn: () => proofOf(disclosure),
    onSuccess: (text) => saveText(`export-${disclosure}.proof`, text),
  });
  return (
    <>
      <Button
        size="compact-xs"
        variant="default"
        leftSection={<IconDownload size={14} />}
        loading={fetching.isPending}
        aria-label={t('disclosed.proof_of', { number: disclosure })}
        onClick={() => fetching.mutate()}
      >
        {t('disclosed.proof')}
      </Button>
      <ErrorNote error={fetching.error} />
    </>
  );
}
