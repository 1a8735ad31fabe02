// Colleagues by name, for whoever may see who they are; by number for everybody else.
import { useQuery } from '@tanstack/react-query';
import { membersQuery } from '../api/queries';
import type { Member } from '../api/types';
import { useTranslation } from '../i18n';
import { useMay } from './may';

export function useMembers(): Member[] {
  const may = useMay();
  const { data = [] } = useQuery({ ...membersQuery(), enabled: may('read_members') });
  return data;
}

export function useMemberName(): (member: number) => string {
  const { t } = useTranslation();
  const members = useMembers();
  return (member) => members.find(({ id }) => id === member)?.name ?? t('people.number', { number: member });
}
